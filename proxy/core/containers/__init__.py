"""Containers as values, in the form in which every source reports them."""
