"""From results to one HTML file: figures as inline SVG, tables, words; nothing is loaded from elsewhere."""
