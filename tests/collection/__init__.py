"""The collection's modules and plugins that need an API server and no machine."""
