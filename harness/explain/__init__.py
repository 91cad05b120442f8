"""Where the time and the accuracy of a case go: node by node, layer by layer, fusion by fusion."""
