//! Which of several weighted backends takes a request.

use mesh_config::model::route::Backend;

/// The backend that `draw`, a random number, falls on. The same draw always falls on the same backend, so that a
/// request that has to be selected again stays where it was.
pub fn pick(backends: &[Backend], total_weight: u64, draw: u64) -> usize {
    if backends.len() < 2 || total_weight == 0 {
        return 0;
    }
    let mut left = draw % total_weight;
    for (position, backend) in backends.iter().enumerate() {
        match left.checked_sub(u64::from(backend.weight)) {
            Some(rest) => left = rest,
            None => return position,
        }
    }
    backends.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_config::model::route::{HeaderOps, Target};

    fn backends(weights: &[u32]) -> Vec<Backend> {
        weights
            .iter()
            .map(|weight| Backend {
                target: Target { host: "a".parse().unwrap(), port: None, subset: None },
                weight: *weight,
                headers: HeaderOps::default(),
            })
            .collect()
    }

    #[test]
    fn every_draw_of_one_round_gives_each_backend_its_share() {
        for weights in [&[90, 10][..], &[1, 2, 3], &[7], &[1, 1000]] {
            let backends = backends(weights);
            let total = weights.iter().map(|w| u64::from(*w)).sum();
            let mut seen = vec![0; weights.len()];
            for draw in 0..total {
                seen[pick(&backends, total, draw)] += 1;
            }
            assert_eq!(seen, weights);
        }
    }

    #[test]
    fn any_draw_is_good() {
        let backends = backends(&[3, 4]);
        assert_eq!(pick(&backends, 7, u64::MAX), pick(&backends, 7, u64::MAX % 7));
    }
}
