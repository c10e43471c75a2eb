//! Choosing free subnets and free addresses.
