//! From a command to a role at work: everything is prepared before anything listens, and every failure is one line
//! with its exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use posthouse_master::{FirstPassword, Launch, MasterConfig};
use posthouse_node::{NodeExit, NodeStart};
use posthouse_runtime::clock::Clock;
use posthouse_runtime::exit::{StartError, code};
use posthouse_runtime::http::bind;
use posthouse_runtime::logging::{LogSettings, Logging};
use posthouse_runtime::paths::{DataDir, Role};
use posthouse_runtime::running_file::RunningGuard;
use posthouse_runtime::signals;
use posthouse_runtime::tasks::Tasks;
use rust_i18n::t;

use crate::cli::{Command, RunArguments};
use crate::terminal::{complain, say};

/// Blocking threads read files and hash; more of them would only wait for the disk.
const BLOCKING_THREADS: usize = 64;

/// After so many turns of its tasks a thread asks the system which connections are ready. With tokio's 61 a small
/// request waits while 61 others are sent a window of a package each, which takes a tenth of a second.
const TURNS_BETWEEN_POLLS: u32 = 5;

/// Work on blocking threads that is still under way after a role has ended gets so long.
const BLOCKING_LIMIT: Duration = Duration::from_millis(250);
/// At the end, downloads on a port that was given up earlier get as long as those on the present one had.
const OLD_PORTS_LIMIT: Duration = Duration::from_secs(1);

/// Does what was asked and gives the exit code.
pub(crate) fn run(command: Command) -> ExitCode {
    let outcome = match command {
        Command::Explain => {
            say(&t!("cli.explain"));
            return ExitCode::from(code::USAGE);
        }
        Command::JoinCode { data, uses, expires } => join_code(data.as_deref(), uses, expires),
        Command::ResetPassword { data } => reset_password(data.as_deref()),
        Command::Run(arguments) => match arguments.role {
            Role::Master => master(&arguments),
            Role::Node => node(&arguments),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let exit = error.downcast_ref::<StartError>().map_or(code::SOFTWARE, StartError::code);
            match error.downcast_ref::<StartError>() {
                Some(start) => complain(&start.to_string()),
                None => complain(&t!("run.failed", error = format!("{error:#}"))),
            }
            ExitCode::from(exit)
        }
    }
}

fn join_code(data: Option<&Path>, uses: u32, expires: Duration) -> anyhow::Result<()> {
    if !DataDir::is_used(data, Role::Master)? {
        return Err(no_data(data).into());
    }
    let data = DataDir::open(data, Role::Master)?;
    say(&posthouse_master::create_join_code(&data, uses, expires)?);
    Ok(())
}

fn reset_password(data: Option<&Path>) -> anyhow::Result<()> {
    let password = match role_of(data)? {
        Role::Master => posthouse_master::reset_password(&DataDir::open(data, Role::Master)?)?,
        Role::Node => posthouse_node::reset_password(&DataDir::open(data, Role::Node)?)?,
    };
    say(&t!("run.new_password", password = password));
    Ok(())
}

/// Which role's data lies in a folder; without a folder, that of the default folders which has any.
fn role_of(data: Option<&Path>) -> Result<Role, StartError> {
    for role in [Role::Master, Role::Node] {
        if DataDir::is_used(data, role)? {
            return Ok(role);
        }
    }
    Err(no_data(data))
}

fn no_data(data: Option<&Path>) -> StartError {
    let path = data.map_or_else(|| PathBuf::from("posthouse"), Path::to_owned);
    StartError::Usage(t!("cli.no_data_of_a_role", path = path.display()).into_owned())
}

fn master(arguments: &RunArguments) -> anyhow::Result<()> {
    let data = DataDir::open(arguments.data.as_deref(), Role::Master)?;
    let guard = RunningGuard::take(&data)?;
    let mut config = MasterConfig::load(&data, arguments.config.as_deref())?;
    if arguments.allow_unsigned_nodes {
        config.nodes.allow_unsigned = posthouse_master::config::Allowed::Yes;
    }
    let listener = bind(arguments.listen.unwrap_or(config.listen))?;
    start_logging(config.logging.clone())?;
    to_the_end(async move {
        let tasks = Tasks::new(Clock::system());
        let stop = signals::stop_token(&tasks);
        let tell_running = |address| say(&t!("run.listening_master", address = address));
        let launch = Launch::new(config, data, guard, tell_first_password, tell_running);
        posthouse_master::run(launch, listener, stop).await
    })
}

fn tell_first_password(first: &FirstPassword) {
    say(&t!("run.first_password", password = first.password, path = first.file.display()));
}

fn node(arguments: &RunArguments) -> anyhow::Result<()> {
    let data = DataDir::open(arguments.data.as_deref(), Role::Node)?;
    let mut start: NodeStart = posthouse_node::prepare(data, arguments.config.as_deref(), arguments.join.as_deref())?;
    if let Some(address) = arguments.listen {
        start = start.listen(address);
    }
    let mut listener = bind(start.listen_address())?;
    let logging = start_logging(start.log_settings())?;
    to_the_end(async move {
        let tasks = Tasks::new(Clock::system());
        let stop = signals::stop_token(&tasks);
        say(&t!("run.listening_node", address = listener.local_addr()?));
        let mut old_ports = Vec::new();
        loop {
            match posthouse_node::run(start, listener, stop.clone(), Some(logging.clone())).await? {
                NodeExit::Stopped => break,
                NodeExit::Rebind { address, start: again, draining } => {
                    old_ports.push(draining);
                    listener = bind(address)?;
                    say(&t!("run.listening_node", address = listener.local_addr()?));
                    start = *again;
                }
            }
        }
        let ends_at = tokio::time::Instant::now() + OLD_PORTS_LIMIT;
        for draining in old_ports {
            draining.finish(ends_at.saturating_duration_since(tokio::time::Instant::now())).await;
        }
        Ok(())
    })
}

fn start_logging(settings: LogSettings) -> Result<Logging, StartError> {
    let file = settings.file.clone().unwrap_or_default();
    Logging::start(settings).map_err(|error| StartError::CannotWrite(file, error))
}

fn to_the_end(role: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .event_interval(TURNS_BETWEEN_POLLS)
        .max_blocking_threads(BLOCKING_THREADS)
        .build()?;
    let outcome = runtime.block_on(role);
    // A thread that waits for a slow disk does not keep the program from ending.
    runtime.shutdown_timeout(BLOCKING_LIMIT);
    outcome
}

/// A thousand slow tablets are a thousand open sockets; many systems allow 1024 files unless asked.
fn raise_file_limit() {
    if let Err(error) = posthouse_runtime::limits::raise_open_files() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
