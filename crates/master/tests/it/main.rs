//! A master as a whole, over real connections: what its administrator, its tablets and its operators see.

mod downloads;
mod events;
mod harness;
mod life_cycle;
mod nodes;
mod restart;
mod uploads;
mod users;
mod versions;
