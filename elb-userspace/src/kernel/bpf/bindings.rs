//! Whose each port of a source address is, read as packets write it.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

use elb_common::binding::{Binding, Bucket, Course, Owner};
use elb_common::snat::WAYS;

use super::shared::Shared;

/// `BINDINGS_V4`, mapped.
#[derive(Debug)]
pub struct Bindings {
    memory: Shared<Bucket>,
    buckets: u32,
}

impl Bindings {
    pub(super) fn new(map: impl AsFd, buckets: u32) -> io::Result<Self> {
        Ok(Self { memory: Shared::new(map, buckets)?, buckets })
    }

    /// Shows all that have an owner, each with its number, until `visit` breaks.
    pub fn walk(&self, mut visit: impl FnMut(u32, Binding) -> ControlFlow<()>) {
        for number in 0..self.buckets * WAYS {
            let Some(binding) = self.one(number) else { continue };
            if visit(number, binding).is_break() {
                return;
            }
        }
    }

    /// The binding of a number, if it has an owner. Its two words may be of two moments.
    fn one(&self, number: u32) -> Option<Binding> {
        use std::sync::atomic::Ordering::Relaxed;
        let (bucket, at) =
            ((number / WAYS) as usize, (number % WAYS) as usize * size_of::<Binding>());
        let owner = Owner(self.memory.word(bucket, at)?.load(Relaxed));
        if !owner.is_one() {
            return None;
        }
        let course = Course(self.memory.word(bucket, at + size_of::<Owner>())?.load(Relaxed));
        Some(Binding { owner, course })
    }

    /// How many count.
    pub(super) fn in_use(&self, now: u32) -> u32 {
        let mut used = 0;
        self.walk(|_, binding| {
            used += u32::from(!binding.course.is_over(now));
            ControlFlow::Continue(())
        });
        used
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.memory.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use elb_common::addr::Be16;
    use elb_common::binding::says;

    use super::*;

    #[test]
    fn what_is_somebodys_is_shown() {
        let client = bytemuck::cast([198u8, 51, 100, 7]);
        let of = |seen| Binding {
            owner: Owner::new(client, Be16::new(4000), 7),
            course: Course::opening(3, says::DATAGRAM, 300, seen),
        };
        let mut buckets = [Bucket::default(); 3];
        (buckets[0][1], buckets[2][7]) = (of(200), of(100));
        buckets[1][0].owner = Owner::BUSY;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytemuck::bytes_of(&buckets)).unwrap();
        let bindings = Bindings::new(&file, 3).unwrap();
        let shown = |most: usize| {
            let mut all = Vec::new();
            bindings.walk(|number, binding| {
                all.push((number, binding));
                if all.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            all
        };
        assert_eq!(shown(9), [(1, of(200)), (23, of(100))]);
        assert_eq!(shown(1), [(1, of(200))]);
        assert_eq!((bindings.in_use(250), bindings.in_use(450)), (2, 1));
        bindings.clear();
        assert_eq!(shown(9), []);
    }
}
