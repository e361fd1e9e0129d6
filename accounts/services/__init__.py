"""What people can do with partners, people and sign-ins: the listing of this folder is the list of features."""
