"""How good are the digits? Each figure beside the same figure for real test digits."""
