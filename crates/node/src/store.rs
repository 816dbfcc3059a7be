//! The node's database, `node.db`: one file a table, methods named for what the domain does. SQL stands nowhere else.

pub(crate) mod events;
pub(crate) mod fetches;
pub(crate) mod meta;
pub(crate) mod packages;

use posthouse_runtime::exit::StartError;
use posthouse_runtime::paths::DataDir;
use posthouse_runtime::store::Store;
use rusqlite_migration::{M, Migrations};

/// Opens or creates the database.
pub(crate) fn open(data: &DataDir) -> Result<Store, StartError> {
    let migrations = Migrations::new(vec![M::up(include_str!("store/migrations/001_node.sql"))]);
    Store::open(&data.database(), &migrations)
}

/// What a column holds that is not of its form: an edit by hand, or a failing disk.
fn not_of_its_form(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}
