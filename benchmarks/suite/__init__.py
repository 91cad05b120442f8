"""What asv measures. asv imports every module of this folder, in environments that hold no more than harness itself."""
