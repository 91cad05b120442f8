"""The fastest variant and session settings that keep a budget: searched for, measured, confirmed, written down."""
