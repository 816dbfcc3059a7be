//! The node against a master that answers over HTTP: what it fetches, keeps, serves and refuses.

mod configuration;
mod custody;
mod joining;
mod master;
mod serving;
mod site;
mod space;
mod syncing;
