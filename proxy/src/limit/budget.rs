//! The retry budget, always on: when everything fails, retries add a fifth to the load and not a multiple of it.

/// Share of active requests that may be retries, in percent.
const PERCENT: u32 = 20;

/// Retries that are always allowed at once.
const LEAST: u32 = 3;

/// How many retries may be on their way while `active` requests are; a limit of the user's own lowers it.
pub fn allowed(active: u32, max_retries: Option<u32>) -> u32 {
    let budget = (u64::from(active) * u64::from(PERCENT) / 100).max(u64::from(LEAST));
    let budget = u32::try_from(budget).unwrap_or(u32::MAX);
    max_retries.map_or(budget, |max| budget.min(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_the_active_requests_and_never_less_than_three() {
        for (active, max, want) in [(0, None, 3), (10, None, 3), (100, None, 20), (100, Some(5), 5), (0, Some(1), 1)] {
            assert_eq!(allowed(active, max), want, "{active} active, {max:?}");
        }
    }
}
