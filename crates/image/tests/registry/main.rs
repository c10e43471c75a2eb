//! The registry client against registries in this process: hostile ones, broken
//! ones, and mirrors. `tests/root/registry` has the real ones.

mod hostile;
mod lists;
mod mirrors;
mod push;
mod resume;
mod served;
