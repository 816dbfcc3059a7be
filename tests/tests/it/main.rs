//! The program tested from outside: a file for each thing it can do.

mod legacy_master;
mod legacy_node;
mod main_job;
