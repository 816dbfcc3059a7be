//! The command line: what it says, and the codes it ends with.

#[cfg(unix)]
use std::time::Duration;

use anyhow::{Context, Result};
use posthouse_tests::process::{Ended, Launch};
use posthouse_tests::site::Site;
use posthouse_tests::wait::PATIENCE;

async fn run(arguments: &[&str]) -> Result<Ended> {
    Launch::bare("posthouse").args(arguments).run_to_end(PATIENCE).await
}

/// One clear line on standard error, that names `thing`, and this code.
fn refused(ended: &Ended, code: i32, thing: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 1, "one line: {ended:?}");
    assert!(lines[0].contains(thing), "it names {thing}: {ended:?}");
}

#[tokio::test]
async fn version_help_and_no_role() -> Result<()> {
    let version = run(&["--version"]).await?;
    assert_eq!(version.code, Some(0));
    assert!(version.stdout.contains(env!("CARGO_PKG_VERSION")), "{version:?}");
    let help = run(&["--help"]).await?;
    assert_eq!(help.code, Some(0));
    for part in ["--master", "--node", "--data", "--config", "--listen", "--join", "join-code", "reset-password"] {
        assert!(help.stdout.contains(part), "help lacks {part}: {}", help.stdout);
    }
    let bare = run(&[]).await?;
    assert!(bare.stdout.contains("--master") && bare.stdout.contains("--node"), "it explains the roles: {bare:?}");
    Ok(())
}

#[tokio::test]
async fn wrong_usage_ends_with_64() -> Result<()> {
    for arguments in [
        &["--master", "--node"][..],
        &["--mastre"],
        &["--master", "--listen", "nowhere"],
        &["join-code", "--uses", "0"],
        &["join-code", "--expires", "soon"],
    ] {
        let ended = run(arguments).await?;
        assert_eq!(ended.code, Some(64), "{arguments:?}: {ended:?}");
        assert!(!ended.stderr.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn a_code_that_is_none_is_refused() -> Result<()> {
    let site = Site::new()?;
    let launch = site.node_setup("east").join("posthouse-join-1.nonsense").launch()?;
    let ended = launch.run_to_end(PATIENCE).await?;
    assert_eq!(ended.code, Some(64), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_ends_with_69() -> Result<()> {
    let site = Site::new()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    for role in ["--master", "--node"] {
        let data = site.data(role);
        let ended = Launch::role(role, &data).args(["--listen", &address]).run_to_end(PATIENCE).await?;
        refused(&ended, 69, &address);
        assert!(!data.join("running.json").exists());
    }
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn a_configuration_file_may_be_named_without_a_folder() -> Result<()> {
    let site = Site::new()?;
    for (role, file) in [("--master", "m.json"), ("--node", "n.json")] {
        let data = site.data(role);
        let here = site.path().to_string_lossy().into_owned();
        let launch = Launch::role(role, &data).args(["--listen", "127.0.0.1:0", "-c", file]);
        let mut process = launch.under(["env", "-C", &here]).start().await?;
        assert!(site.path().join(file).is_file());
        process.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_ends_with_73() -> Result<()> {
    let site = Site::new()?;
    // A file where a folder should be stops root too.
    let blocked = site.data("file");
    std::fs::write(&blocked, "in the way")?;
    for role in ["--master", "--node"] {
        let data = blocked.join("data");
        let ended = Launch::role(role, &data).args(["--listen", "127.0.0.1:0"]).run_to_end(PATIENCE).await?;
        refused(&ended, 73, &blocked.display().to_string());
    }
    Ok(())
}

#[tokio::test]
async fn a_broken_configuration_ends_with_78_and_stays_as_it_is() -> Result<()> {
    let site = Site::new()?;
    for (role, file, text, named) in [
        ("--node", "node_config.json", "{ \"syncInterval\": 5 }", "syncInterval"),
        ("--node", "node_config.json", "{ \"storage\": { \"maxSize\": \"much\" } }", "storage.maxSize"),
        ("--node", "node_config.json", "{ \"nodePort\": 8001", "node_config.json"),
        ("--master", "master_config.json", "{ \"port\": 0 }", "port"),
        ("--master", "master_config.json", "[]", "master_config.json"),
    ] {
        let data = site.data(&format!("broken{role}"));
        std::fs::create_dir_all(&data)?;
        std::fs::write(data.join(file), text)?;
        let ended = Launch::role(role, &data).args(["--listen", "127.0.0.1:0"]).run_to_end(PATIENCE).await?;
        refused(&ended, 78, named);
        assert_eq!(std::fs::read_to_string(data.join(file))?, text);
        let mut left: Vec<String> = std::fs::read_dir(&data)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        // The lock that keeps two processes apart may stay.
        left.retain(|name| name != file && name != "running.lock");
        assert!(left.is_empty(), "half-written: {left:?}");
        std::fs::remove_dir_all(&data)?;
    }
    Ok(())
}

#[tokio::test]
async fn one_process_a_data_folder() -> Result<()> {
    let site = Site::new()?;
    let master = site.master().await?;
    let ended = Launch::role("--master", master.data()).args(["--listen", "127.0.0.1:0"]).run_to_end(PATIENCE).await?;
    assert!(matches!(ended.code, Some(69 | 73 | 77)), "{ended:?}");
    assert!(ended.stderr.contains(&master.process.pid().to_string()), "it names the other process: {ended:?}");
    assert_eq!(master.process.running()?.pid, master.process.pid(), "running.json is still the first one's");
    Ok(())
}

#[tokio::test]
async fn a_join_code_needs_a_running_master() -> Result<()> {
    let site = Site::new()?;
    let data = site.data("nothing");
    let ended = Launch::bare("join-code").arg("join-code").arg("--data").arg(&data).run_to_end(PATIENCE).await?;
    assert!(ended.code.is_some_and(|code| (64..=78).contains(&code)), "{ended:?}");
    assert_eq!(ended.stdout, "", "nothing that could be taken for a code");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_is_printed_once_and_the_old_one_no_longer_good() -> Result<()> {
    let site = Site::new()?;
    let mut master = site.master().await?;
    let data = master.data().to_owned();
    master.process.stop().await?;
    let launch = Launch::bare("reset-password").arg("reset-password").arg("--data").arg(&data);
    let ended = launch.run_to_end(PATIENCE).await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let password = ended.stdout.split_whitespace().last().context("a password")?.to_owned();
    assert!(master.start_again().await.is_err(), "the old password is refused");
    let http = posthouse_tests::answer::http_client()?;
    let request = posthouse_tests::admin::sign_in_request(&http, &master.base, "admin", &password);
    posthouse_tests::answer::Answer::to(request).await?.expect(200)?;
    Ok(())
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_both_roles_cleanly() -> Result<()> {
    let site = Site::new()?;
    let mut master = site.master().await?;
    let mut node = site.joined_node("east", &master).await?;
    for process in [&mut node.process, &mut master.process] {
        process.interrupt()?;
        let status = process.wait_for_end(Duration::from_secs(10)).await?;
        assert_eq!(status.code(), Some(0));
        assert!(!process.data().join("running.json").exists());
    }
    Ok(())
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_secret_is_for_its_owner_alone() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let site = Site::new()?;
    let master = site.master_setup().generated_password().start().await?;
    let node = site.joined_node("east", &master).await?;
    let files = [
        master.password_file(),
        master.data().join("master.db"),
        node.config_path(),
        node.data().join("node.db"),
        node.data().join("node_secret.json"),
    ];
    for path in files {
        let mode = std::fs::metadata(&path).with_context(|| path.display().to_string())?.permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
    let password = std::fs::read_to_string(master.password_file())?.trim().to_owned();
    let log = std::fs::read_to_string(master.data().join("logs").join("master.log"))?;
    assert!(!log.contains(&password), "the log has the password");
    Ok(())
}
