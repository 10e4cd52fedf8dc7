"""Commands beside the gateway: for `sam local`, and for deployed stacks."""
