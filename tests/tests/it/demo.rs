//! `make run`, in both languages, up to the point where it would wait for Ctrl-C.

use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_shows_the_job_and_leaves_nothing_behind() -> Result<()> {
    for (language, agree) in [("en_US.UTF-8", "All 6 downloads"), ("zh_CN.UTF-8", "6 次下载")] {
        let folder = tempfile::tempdir()?;
        let demo = Command::new(env!("CARGO_BIN_EXE_posthouse-demo"))
            .env("POSTHOUSE_DEMO_EXIT", "1")
            .env("LC_ALL", language)
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(std::time::Duration::from_secs(150), demo).await.context("too slow")??;
        let (shown, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}\n{shown}\n{errors}", output.status);
        assert!(shown.contains(agree), "{shown}");
        for node in ["east", "west"] {
            let lines = shown.lines().filter(|line| line.contains("BLAKE3") && line.contains(node));
            assert_eq!(lines.count(), 3, "{node} served half of the six downloads:\n{shown}");
        }
        assert_eq!(std::fs::read_dir(folder.path())?.count(), 0, "the folder is gone");
    }
    Ok(())
}
