"""Makes the default GGUF embedding model and proves that it embeds as it should."""
