//! Map records as the library that reads and writes maps wants them.

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, PerCpuValues};
use aya::{Ebpf, util::nr_cpus};

/// A record of a map.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Record<T>(pub T);

// SAFETY: `T: bytemuck::Pod` has no padding and no invalid values, which is all that is asked for.
unsafe impl<T: bytemuck::Pod> aya::Pod for Record<T> {}

/// A hash map of `object`, to write to.
pub fn hash<'o, K: bytemuck::Pod, V: bytemuck::Pod>(
    object: &'o mut Ebpf,
    name: &str,
) -> Result<HashMap<&'o mut MapData, Record<K>, Record<V>>> {
    Ok(object.map_mut(name).with_context(|| format!("no map {name}"))?.try_into()?)
}

/// An array of `object`, to write to.
pub fn array<'o, V: bytemuck::Pod>(
    object: &'o mut Ebpf,
    name: &str,
) -> Result<Array<&'o mut MapData, Record<V>>> {
    Ok(object.map_mut(name).with_context(|| format!("no map {name}"))?.try_into()?)
}

/// An element of a per-CPU array of `object`, by CPU.
pub fn per_cpu<V: bytemuck::Pod>(object: &Ebpf, name: &str, index: u32) -> Result<Vec<V>> {
    let map = object.map(name).with_context(|| format!("no map {name}"))?;
    let map: PerCpuArray<_, Record<V>> = map.try_into()?;
    Ok(map.get(&index, 0)?.iter().map(|record| record.0).collect())
}

/// Makes an element of a per-CPU array of `object` zero on all CPUs.
pub fn clear<V: bytemuck::Pod>(object: &mut Ebpf, name: &str, index: u32) -> Result<()> {
    let map = object.map_mut(name).with_context(|| format!("no map {name}"))?;
    let mut map: PerCpuArray<_, Record<V>> = map.try_into()?;
    let cpus = nr_cpus().map_err(|(file, error)| anyhow::anyhow!("{file}: {error}"))?;
    let zeros = vec![Record(V::zeroed()); cpus];
    map.set(index, PerCpuValues::try_from(zeros)?, 0)?;
    Ok(())
}
