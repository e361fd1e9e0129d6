"""What people and jobs can do with labs and the credits that pay for them."""
