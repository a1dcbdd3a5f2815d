"""Fast, exact text classification with ALBERT: early exits and slot refill in JAX."""
