"""The heatmap: memories down, responses across."""
