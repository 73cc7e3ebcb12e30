"""Where images and labels come from, and the variants made of them."""
