//! Facts and load of this machine.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use posthouse_protocol::node::{NodeLoad, SystemFacts};
use sysinfo::{DiskRefreshKind, Disks, System};

/// Reads the machine; keeps what is needed to turn processor times into percent.
#[derive(Debug)]
pub struct SystemProbe {
    /// `None` where the system does not tell.
    system: Mutex<Option<System>>,
    volume_of: PathBuf,
}

impl SystemProbe {
    /// Watches the machine and the volume on which `storage` lies.
    #[must_use]
    pub fn new(storage: &Path) -> Self {
        let mut system = System::new().ok();
        if let Some(system) = &mut system {
            system.refresh_cpu_usage();
            system.refresh_memory();
        }
        Self { system: Mutex::new(system), volume_of: storage.to_owned() }
    }

    /// What the machine is.
    #[must_use]
    pub fn facts(&self) -> SystemFacts {
        let system = self.system.lock();
        SystemFacts {
            host_name: System::host_name().unwrap_or_default(),
            operating_system: System::long_os_version().unwrap_or_else(|_| std::env::consts::OS.to_owned()),
            processors: system.as_ref().map_or(0, |system| system.cpus().len() as u32),
            memory_total_bytes: system.as_ref().map_or(0, System::total_memory),
            volume_total_bytes: volume(&self.volume_of).map_or(0, |(total, _)| total),
        }
    }

    /// How busy the machine is since the last call. Blocks for the time of a few system calls.
    #[must_use]
    pub fn load(&self) -> NodeLoad {
        let volume_free_bytes = volume(&self.volume_of).map_or(0, |(_, free)| free);
        let mut load = NodeLoad { volume_free_bytes, ..NodeLoad::default() };
        if let Some(system) = self.system.lock().as_mut() {
            system.refresh_cpu_usage();
            system.refresh_memory();
            load.processor_percent = system.global_cpu_usage();
            load.memory_used_bytes = system.used_memory();
        }
        load
    }
}

/// Total and free bytes of the volume that holds `path`.
#[must_use]
pub fn volume(path: &Path) -> Option<(u64, u64)> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let disks = Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_storage()).ok()?;
    disks
        .iter()
        .filter(|disk| path.starts_with(disk.mount_point()))
        .max_by_key(|disk| disk.mount_point().as_os_str().len())
        .map(|disk| (disk.total_space(), disk.available_space()))
}
