//! A configuration as one file: with the ids of its resources, or without the resources.

use toml::{Table, Value};

use super::SourceText;
use crate::model::{LoadBalancer, Model, Pool};

/// What only resources have.
const RESOURCES: [&str; 3] = ["load_balancer", "pool", "ipgroup"];

/// A file and those that it includes as one, with the id of every resource. The model is that of the file, which is right
/// throughout.
///
/// # Errors
/// It is no TOML.
pub fn with_ids(source: &SourceText, model: &Model) -> Result<String, toml::de::Error> {
    let mut file: Table = toml::from_str(&source.text)?;
    file.remove("include");
    for table in tables(&mut file, "load_balancer") {
        let found = model.load_balancers().iter().find(|one| one.name.as_str() == name(table));
        if let Some(found) = found {
            set(table, found.id);
            listeners(table, found);
        }
    }
    for table in tables(&mut file, "pool") {
        if let Some(pool) = model.pools().iter().find(|one| one.name.as_str() == name(table)) {
            set(table, pool.id);
            parts(table, pool);
        }
    }
    for table in tables(&mut file, "ipgroup") {
        let found = model.ip_groups().iter().find(|one| one.name.as_str() == name(table));
        found.into_iter().for_each(|found| set(table, found.id));
    }
    Ok(written(&file))
}

/// What a file has next to its resources, but for these sections: the tables, to be written with [`written`].
///
/// # Errors
/// It is no TOML.
pub fn without_resources(source: &SourceText, others: &[&str]) -> Result<Table, toml::de::Error> {
    let mut file: Table = toml::from_str(&source.text)?;
    for key in RESOURCES.iter().chain(others).chain(&["include"]) {
        file.remove(*key);
    }
    Ok(file)
}

/// Tables as text.
pub fn written(file: &Table) -> String {
    toml::to_string(file).unwrap_or_default()
}

fn listeners(table: &mut Table, lb: &LoadBalancer) {
    for table in tables(table, "listener") {
        let found = lb.listeners.iter().find(|one| one.name.as_str() == name(table));
        found.into_iter().for_each(|found| set(table, found.id));
    }
}

/// Members have the order of the file; names they need not have.
fn parts(table: &mut Table, pool: &Pool) {
    tables(table, "member").zip(&pool.members).for_each(|(table, member)| set(table, member.id));
    let monitor = table.get_mut("healthmonitor").and_then(Value::as_table_mut);
    if let (Some(table), Some(monitor)) = (monitor, &pool.healthmonitor) {
        set(table, monitor.id);
    }
}

fn tables<'a>(file: &'a mut Table, key: &str) -> impl Iterator<Item = &'a mut Table> {
    let all = file.get_mut(key).and_then(Value::as_array_mut);
    all.into_iter().flatten().filter_map(Value::as_table_mut)
}

fn name(table: &Table) -> &str {
    table.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn set(table: &mut Table, id: impl ToString) {
    table.insert("id".to_owned(), Value::String(id.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::{Host, parse, parse_source};

    const TEXT: &str = r#"
        include = "conf.d/*.toml"
        [agent]
        interfaces = ["eth0"]
        [[ipgroup]]
        name = "office"
        ip_list = ["10.0.0.0/8"]
        [[load_balancer]]
        name = "web"
        vip_address = "192.0.2.10"
        [[load_balancer.listener]]
        name = "http"
        protocol = "TCP"
        protocol_port = 80
        default_pool = "web"
        ipgroup = { ipgroup = "office", cut = true }
        [[pool]]
        name = "web"
        protocol = "TCP"
        forwarding = "ipip"
        healthmonitor = { type = "TCP", delay = 0.5 }
        member = [
            { address = "10.0.0.1", protocol_port = 80, backup = true },
            { name = "b", id = "5f0d7d4e-3c1c-4a7e-9a63-2f1f5c0f8a11", address = "10.0.0.2", protocol_port = 80 },
        ]
    "#;

    #[test]
    fn a_file_with_its_ids_is_the_same_and_keeps_them_under_other_names() {
        let source = SourceText::of("elb.toml", TEXT);
        let (config, errors) = parse_source(&source, &Host::default());
        let config = config.unwrap();
        assert!(!errors.has_errors(), "{errors}");
        let text = with_ids(&source, &config.model).unwrap();
        assert_eq!(parse("new", &text).unwrap(), config, "{text}");
        assert_eq!(text.matches("id = \"").count(), 7, "{text}");
        let renamed = text.replace("\"web\"", "\"www\"").replace("\"http\"", "\"plain\"");
        let renamed = parse("new", &renamed).unwrap();
        assert_eq!(
            renamed.model.load_balancers()[0].listeners[0].id,
            config.model.load_balancers()[0].listeners[0].id
        );
        assert_eq!(renamed.model.pools()[0].members, config.model.pools()[0].members);
    }

    #[test]
    fn what_is_next_to_resources_stays() {
        let rest = without_resources(&SourceText::of("elb.toml", TEXT), &["api"]).unwrap();
        assert_eq!(written(&rest).trim(), "[agent]\ninterfaces = [\"eth0\"]");
    }
}
