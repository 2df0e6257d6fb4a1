//! Records of `elb-common` as aya wants them.

/// A record with neither padding nor invalid values.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<T>(pub T);

// SAFETY: `bytemuck::Pod` guarantees that any bytes are a valid `T` and that `T` has no padding,
// which is all that aya asks of its own `Pod`.
unsafe impl<T: bytemuck::Pod> aya::Pod for Record<T> {}
