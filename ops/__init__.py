"""Commands for deployed stacks, and the arithmetic of their cost and scale."""
