//! The command line. Help texts come from `locales/cli.yml`, in the language of the system.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command as Clap, value_parser};
use posthouse_runtime::exit::code;
use posthouse_runtime::paths::Role;
use rust_i18n::t;

use crate::terminal::{complain, say};

/// What the program was asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Play a role until told to stop.
    Run(RunArguments),
    /// Print a join code of a master.
    JoinCode { data: Option<PathBuf>, uses: u32, expires: Duration },
    /// Set a new administration password (of a master) or management password (of a node).
    ResetPassword { data: Option<PathBuf> },
    /// No role: explain them.
    Explain,
}

/// Arguments of either role.
#[derive(Debug)]
pub(crate) struct RunArguments {
    pub(crate) role: Role,
    pub(crate) data: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) join: Option<String>,
    pub(crate) allow_unsigned_nodes: bool,
}

/// Reads the command line; help, version and mistakes are said here and end the program.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, ExitCode> {
    let matches = definition().try_get_matches_from(arguments).map_err(|error| {
        if error.use_stderr() {
            complain(error.to_string().trim_end());
            ExitCode::from(code::USAGE)
        } else {
            say(error.to_string().trim_end());
            ExitCode::SUCCESS
        }
    })?;
    let data = |matches: &ArgMatches| matches.get_one::<PathBuf>("data").cloned();
    Ok(match matches.subcommand() {
        Some(("join-code", found)) => Command::JoinCode {
            data: data(found),
            uses: found.get_one("uses").copied().unwrap_or(1),
            expires: found.get_one("expires").copied().unwrap_or(Duration::from_secs(24 * 3600)),
        },
        Some(("reset-password", found)) => Command::ResetPassword { data: data(found) },
        _ => {
            let role = match (matches.get_flag("master"), matches.get_flag("node")) {
                (true, _) => Role::Master,
                (_, true) => Role::Node,
                _ => return Ok(Command::Explain),
            };
            Command::Run(RunArguments {
                role,
                data: data(&matches),
                config: matches.get_one("config").cloned(),
                listen: matches.get_one("listen").copied(),
                join: matches.get_one("join").cloned(),
                allow_unsigned_nodes: matches.get_flag("allow-unsigned-nodes"),
            })
        }
    })
}

fn definition() -> Clap {
    let data =
        || Arg::new("data").long("data").value_name("DIR").value_parser(value_parser!(PathBuf)).help(t!("cli.data"));
    let join_code = Clap::new("join-code").about(t!("cli.join_code")).arg(data()).args([
        Arg::new("uses")
            .long("uses")
            .value_name("N")
            .value_parser(value_parser!(u32).range(1..=10_000))
            .help(t!("cli.uses")),
        Arg::new("expires").long("expires").value_name("TIME").value_parser(duration).help(t!("cli.expires")),
    ]);
    let reset_password = Clap::new("reset-password").about(t!("cli.reset_password")).arg(data());
    Clap::new("posthouse")
        .version(posthouse_runtime::VERSION)
        .about(t!("cli.about"))
        .after_help(t!("cli.after_help"))
        .args_conflicts_with_subcommands(true)
        .arg(Arg::new("master").long("master").action(ArgAction::SetTrue).help(t!("cli.master")))
        .arg(Arg::new("node").long("node").action(ArgAction::SetTrue).help(t!("cli.node")))
        .group(ArgGroup::new("role").args(["master", "node"]))
        .arg(data().requires("role"))
        .arg(
            Arg::new("config")
                .short('c')
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .requires("role")
                .help(t!("cli.config")),
        )
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDR:PORT")
                .value_parser(value_parser!(SocketAddr))
                .requires("role")
                .help(t!("cli.listen")),
        )
        .arg(Arg::new("join").long("join").value_name("CODE").requires("node").help(t!("cli.join")))
        .arg(
            Arg::new("allow-unsigned-nodes")
                .long("allow-unsigned-nodes")
                .action(ArgAction::SetTrue)
                .requires("master")
                .help(t!("cli.allow_unsigned_nodes")),
        )
        .subcommands([join_code, reset_password])
}

/// `90s`, `30m`, `24h`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || t!("cli.not_a_duration", value = text).into_owned();
    let unit_at = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let total = number.checked_mul(seconds).filter(|total| (1..=366 * 86_400).contains(total)).ok_or_else(wrong)?;
    Ok(Duration::from_secs(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent_and_durations_are_read() {
        definition().debug_assert();
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for wrong in ["", "24", "h", "-1h", "0s", "5y", "99999999999999999999d", "400d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
