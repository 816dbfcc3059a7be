//! `node_config.json`: edited by hand or by the API, obeyed without a restart.

mod edits;
mod keys;

use anyhow::{Result, ensure};
use posthouse_tests::config;
use posthouse_tests::node::Node;
use posthouse_tests::wait::{PATIENCE, wait_until};
use serde_json::{Value, json};

/// The configuration in force.
async fn in_force(node: &Node) -> Result<Value> {
    node.get("/api/config").await?.expect(200)?.json()
}

/// Lays keys over the file, as a person with an editor does, and waits until they are in force.
async fn edit(node: &Node, keys: Value) -> Result<()> {
    config::edit(&node.config_path(), |whole| config::merge(whole, &keys))?;
    wait_until(&format!("{keys} is in force"), PATIENCE, || async {
        let now = in_force(node).await?;
        let mut wanted = now.clone();
        config::merge(&mut wanted, &keys);
        ensure!(now == wanted, "{now}");
        anyhow::Ok(())
    })
    .await
}

/// The file that the Python node writes, with keys that only it knows.
fn pythons_file(master_port: u16) -> Value {
    json!({
        "mainServerIp": "127.0.0.1", "mainServerPort": master_port, "syncInterval": 10, "nodeId": "node-12345678",
        "nodePort": 8001, "publicIp": null, "publicPort": null, "usePublicAddress": false,
        "storage": {
            "path": "./storage", "maxSize": 10_737_418_240_u64, "cleanupThreshold": 0.9, "autoCleanup": true,
            "layout": "flat"
        },
        "network": {
            "maxConcurrentDownloads": 3, "downloadTimeout": 300, "connectionTimeout": 10, "retryCount": 3,
            "retryDelay": 5
        },
        "logging": {
            "level": "INFO", "fileEnabled": true, "filePath": "./logs/node.log", "maxFileSize": 10_485_760,
            "backupCount": 5
        },
        "heartbeat": { "interval": 10, "timeout": 30 },
        "cleanup": { "enabled": true, "cleanOnStartup": true, "cleanEndedMeetings": true },
        "界面": { "theme": "dark", "pages": [1, 2] }
    })
}
