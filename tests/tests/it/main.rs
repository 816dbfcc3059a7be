//! The program tested from outside: a file for each thing it can do.

mod bad_days;
mod cli;
mod clocks;
mod config;
mod demo;
mod events;
mod legacy_master;
mod legacy_node;
mod losing_a_node;
mod main_job;
mod operators;
mod papers;
mod passwords;
mod rotation;
mod serving;
mod space;
mod texts;
mod trust;
mod versions;
