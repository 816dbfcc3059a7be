//! Numbers from runs.

/// Bytes of a GiB.
pub(crate) const GIB: u64 = 1 << 30;

/// The middle of some values; of an even number of them the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The value below which this share of the values lies.
pub(crate) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// `2.41 GB/s`.
pub(crate) fn rate(bytes_per_second: f64) -> String {
    format!("{:.2} GB/s", bytes_per_second / 1e9)
}

/// `3.94 GB/s (1.21 ×)`.
pub(crate) fn rate_and_ratio(bytes_per_second: f64, peer: f64) -> String {
    format!("{} ({:.2} ×)", rate(bytes_per_second), bytes_per_second / peer)
}
