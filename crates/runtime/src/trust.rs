//! Who may do what: secrets, signatures over requests and answers, the join exchange, download links, passwords.
//!
//! What is signed stands in [`posthouse_protocol::signing`] and [`posthouse_protocol::join`]; here is how.

pub mod join;
pub mod link;
pub mod password;
pub mod secret;
pub mod verifier;

pub use secret::Secret;
