"""What params.yaml and claims.yaml may say."""
