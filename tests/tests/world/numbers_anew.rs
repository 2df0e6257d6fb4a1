//! A number that another backend or listener had begins anew: nothing is left of what was counted and noted for that.

use anyhow::Result;
use aya::maps::{Array, MapData, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use elb_common::{
    counter::{Answers, Counter},
    names,
};
use elb_tests::{host::PinDir, record::Record};
use elb_userspace::{
    control::plan::{Command, MapStore as _},
    kernel::bpf::{Capacity, LoadedObject, Maps},
};

const NUMBER: u16 = 7;
const OTHER: u16 = 8;

#[test]
fn nothing_is_left_of_who_had_a_number_before() -> Result<()> {
    let pins = PinDir::create()?;
    let capacity =
        Capacity { chunks: 16, flows: 1024, backends: 16, listeners: 16, clients: 1, bindings: 1 };
    let mut object = LoadedObject::load(pins.path(), capacity)?;
    let directory = object.directory.clone();
    let mut maps = Maps::new(&mut object, capacity)?;
    let counter = Counter { packets: 3, bytes: 300 };
    let cpus = nr_cpus().map_err(|(_, error)| error)?;
    for name in [names::LISTENER_REPLIES, names::BACKEND_REPLIES] {
        let map = aya::maps::Map::PerCpuArray(MapData::from_pin(directory.join(name))?);
        let mut map = PerCpuArray::<_, Record<Counter>>::try_from(map)?;
        for id in [NUMBER, OTHER] {
            let values = PerCpuValues::try_from(vec![Record(counter); cpus])?;
            map.set(id.into(), values, 0)?;
        }
    }
    for name in [names::LISTENER_ANSWERS, names::BACKEND_ANSWERS] {
        let map = aya::maps::Map::PerCpuArray(MapData::from_pin(directory.join(name))?);
        let mut map = PerCpuArray::<_, Record<Answers>>::try_from(map)?;
        for id in [NUMBER, OTHER] {
            let answers = Answers { accepted: 5, resets: 2 };
            map.set(id.into(), PerCpuValues::try_from(vec![Record(answers); cpus])?, 0)?;
        }
    }
    let excepted = MapData::from_pin(directory.join(names::EXCEPTED))?;
    let mut excepted = Array::<_, u32>::try_from(aya::maps::Map::Array(excepted))?;
    [NUMBER, OTHER].into_iter().try_for_each(|id| excepted.set(id.into(), u32::MAX, 0))?;
    let all = u64::try_from(cpus)?;
    let counted = Counter { packets: 3 * all, bytes: 300 * all };
    let answered = Answers { accepted: 5 * all, resets: 2 * all };
    assert_eq!(maps.backend_replies(NUMBER)?, counted);
    assert_eq!(maps.backend_answers(NUMBER)?, answered);

    maps.execute(&Command::ResetBackendCounter(NUMBER))?;
    maps.execute(&Command::ResetListenerCounter(NUMBER))?;
    for (id, left, answers, until) in
        [(NUMBER, Counter::default(), Answers::default(), 0), (OTHER, counted, answered, u32::MAX)]
    {
        assert_eq!(maps.backend_replies(id)?, left);
        assert_eq!(maps.listener_replies(id)?, left);
        assert_eq!(maps.backend_answers(id)?, answers);
        assert_eq!(maps.listener_answers(id)?, answers);
        assert_eq!(excepted.get(&id.into(), 0)?, until);
    }
    Ok(())
}
