//! Steps of the packet path that few packets take, as global subprograms: the kernel verifies each once
//! by itself, for any arguments, instead of walking it for every path that ends there. They take and
//! return plain numbers; what is more lies in a per-CPU map, since the stack has no room for it.

use core::hint::black_box;

use elb_common::path::Stop;
use elb_common::reason::Reason;

mod answer;
mod binding;
mod choice;
mod fragment;
mod socket;
mod translation;
mod version;

pub(crate) use answer::*;
pub(crate) use binding::*;
pub(crate) use choice::*;
pub(crate) use fragment::*;
pub(crate) use socket::*;
pub(crate) use translation::*;
pub(crate) use version::*;

/// No reason has this number.
const NONE: u32 = 0xff;

/// A reason, or [`NONE`].
#[inline(always)]
fn done(word: u32) -> Result<(), Stop> {
    Reason::new(black_box(word) as u8).map_or(Ok(()), |reason| Err(Stop(reason)))
}

/// The word of what [`done`] says.
#[inline(always)]
fn word_of(done: Result<(), Stop>) -> u32 {
    done.map_or_else(|Stop(reason)| reason as u32, |()| NONE)
}

/// A subprogram for each IP version: `$step`, generic over it, is what they do, and `$call` calls the one of `F`.
macro_rules! per_version {
    ($(
        $(#[$doc:meta])*
        $call:ident: $v4:ident, $v6:ident = $step:ident($($number:ident),*) -> $word:ty;
    )*) => { $(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $v4(context: *mut aya_ebpf::bindings::xdp_md $(, $number: u32)*) -> $word {
            $step::<elb_common::path::V4>(context $(, $number)*)
        }

        /// As for IPv4.
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $v6(context: *mut aya_ebpf::bindings::xdp_md $(, $number: u32)*) -> $word {
            $step::<elb_common::path::V6>(context $(, $number)*)
        }

        /// Calls the one of an IP version.
        #[inline(always)]
        fn $call<F: elb_common::path::Family>(
            context: &aya_ebpf::programs::XdpContext $(, $number: u32)*
        ) -> $word {
            match F::INNER_PROTOCOL {
                elb_common::path::V4::INNER_PROTOCOL => $v4(context.ctx $(, $number)*),
                _ => $v6(context.ctx $(, $number)*),
            }
        }
    )* };
}
use per_version;
