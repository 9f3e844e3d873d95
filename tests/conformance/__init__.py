"""What every database must do: one suite for all of them."""
