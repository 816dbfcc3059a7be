//! The program tested from outside: a file for each thing it can do.

mod bad_days;
mod cli;
mod config;
mod demo;
mod legacy_master;
mod legacy_node;
mod losing_a_node;
mod main_job;
mod papers;
mod rotation;
mod serving;
mod trust;
mod versions;
