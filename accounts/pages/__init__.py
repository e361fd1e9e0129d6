"""The pages of accounts, one module for each place: sign-in, profile, notices, a partner's people."""
