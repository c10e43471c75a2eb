//! The names that this lighter gives to things it makes on the host.
