"""Results as one HTML file with inline SVG figures, tables and text; it loads nothing from elsewhere."""
