//! What SQLite says, told to a person: what happened to which file, and what to do.

use oneiric::fault::Fault;
use rusqlite::ErrorCode;

use super::connection::Place;

/// A failure below the store's doors.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// SQLite's answer.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// Already in words.
    #[error("{0}")]
    Fault(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Failure {
    /// Whether the request was wrong rather than the database.
    pub(super) fn is_fault(&self) -> bool {
        matches!(self, Self::Fault(_))
    }

    /// In words.
    pub(super) fn tell(self, place: &Place) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::Sqlite(error) => tell(&error, place),
        }
    }
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed)
    )
}

/// Whether the file could not be opened the way it was asked for, and reading alone may still work.
pub(super) fn is_access(error: &rusqlite::Error) -> bool {
    // On a full disk there is no room for the index of the log, which reading alone can do without.
    let no_index = error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
    no_index
        || matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
        )
}

pub(super) fn tell(error: &rusqlite::Error, place: &Place) -> Fault {
    let at = place.shown();
    let said = without_sql(error);
    if said.starts_with("no such table") {
        // This program makes its tables before it asks for them.
        return damaged(&at, &said);
    }
    let Some(code) = error.sqlite_error_code() else {
        return match error {
            // A column that holds what no version of this program writes.
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => damaged(&at, &error.to_string()),
            // A row that another one refers to.
            rusqlite::Error::QueryReturnedNoRows => damaged(&at, "a row is missing that others belong to"),
            _ => Fault::internal(format!("the database {at} answered unexpectedly: {said}")),
        };
    };
    match code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => damaged(&at, &error.to_string()),
        ErrorCode::ConstraintViolation if do_not_fit(error) => damaged(&at, &said),
        ErrorCode::DiskFull => no_space(&at),
        // What SQLite says when it could not make a file beside the database, or make it longer.
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly if place.is_full() => no_space(&at),
        ErrorCode::SystemIoFailure if place.is_at_limit() => {
            Fault::unavailable(format!("the limit on the size of files leaves no room to write the database {at}"))
                .hint("raise it (ulimit -f), then try again; nothing was half stored")
        }
        ErrorCode::SystemIoFailure => {
            Fault::unavailable(format!("the disk failed to read or write the database {at} ({error})"))
                .hint("check its space and health, then try again; nothing was half stored")
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            Fault::unavailable(format!("another program kept the database {at} to itself for too long"))
                .hint("end that program or wait for it, then try again")
        }
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            read_only(&at)
        }
        ErrorCode::CannotOpen => Fault::unavailable(format!("cannot open the database {at}"))
            .hint("check that the file and its folder exist and can be read and written"),
        ErrorCode::OutOfMemory => Fault::unavailable(format!("no memory left to work on the database {at}")),
        ErrorCode::TooBig => Fault::user("a value is larger than the database can hold"),
        _ => Fault::internal(format!("the database {at} answered unexpectedly: {said}")),
    }
}

/// Whether rows that are there keep others from being stored: this program stores none that others would need first, and moves
/// none to where it is already.
fn do_not_fit(error: &rusqlite::Error) -> bool {
    use rusqlite::ffi::{SQLITE_CONSTRAINT_FOREIGNKEY, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};
    error.sqlite_error().is_some_and(|error| {
        matches!(
            error.extended_code,
            SQLITE_CONSTRAINT_FOREIGNKEY | SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE
        )
    })
}

/// What SQLite said, without the statement that it said it of.
pub(super) fn without_sql(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

pub(super) fn no_space(at: &str) -> Fault {
    Fault::unavailable(format!("no space left to write the database {at}"))
        .hint("free some space, then try again; nothing was half stored")
}

pub(super) fn read_only(at: &str) -> Fault {
    Fault::unavailable(format!("the database {at} can be read but not written"))
        .hint("make the file and its folder writable, or name another file")
}

fn damaged(at: &str, detail: &str) -> Fault {
    Fault::unavailable(format!("the database {at} is damaged ({detail})")).hint(
        "see what 'session-buddy doctor' can mend; else restore a backup over it, or move it away to begin a new one; \
         it was left as it is",
    )
}
