"""The site: a module per page, each a few Gradio components around HTML of `views/`. The only door to gradio."""
