//! Which of several weighted backends takes a request.

/// The backend that `draw`, a random number, falls on, by its weight. The same draw always falls on the same backend, so that a
/// request that has to be selected again stays where it was.
pub fn pick(weights: impl ExactSizeIterator<Item = u32>, total_weight: u64, draw: u64) -> usize {
    let count = weights.len();
    if count < 2 || total_weight == 0 {
        return 0;
    }
    let mut left = draw % total_weight;
    for (position, weight) in weights.enumerate() {
        match left.checked_sub(u64::from(weight)) {
            Some(rest) => left = rest,
            None => return position,
        }
    }
    count - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_of_one_round_gives_each_backend_its_share() {
        for weights in [&[90, 10][..], &[1, 2, 3], &[7], &[1, 1000]] {
            let total = weights.iter().map(|w| u64::from(*w)).sum();
            let mut seen = vec![0; weights.len()];
            for draw in 0..total {
                seen[pick(weights.iter().copied(), total, draw)] += 1;
            }
            assert_eq!(seen, weights);
        }
    }

    #[test]
    fn any_draw_is_good() {
        let pick = |draw| pick([3, 4].into_iter(), 7, draw);
        assert_eq!(pick(u64::MAX), pick(u64::MAX % 7));
    }
}
