# Undoes what the kept program and its configuration say was set up. Fails while an agent runs.
stop_forwarding() {
    kept=/var/lib/elb/removed
    [ -x "$kept/elb" ] || return 0
    if grep -q '^ *interfaces' "$kept/elb.toml" 2>/dev/null; then
        "$kept/elb" detach --config "$kept/elb.toml" || return 1
    else
        "$kept/elb" detach 2>/dev/null || return 1
    fi
    for state in /run/elb-backend/*.json; do
        pins=$(sed -n 's/^ *"pin_dir": "\(.*\)",$/\1/p' "$state" 2>/dev/null)
        [ -z "$pins" ] || "$kept/elb" backend down --all --pin-dir "$pins" || return 1
    done
    if [ -d /run/elb-backend ]; then
        "$kept/elb" backend down --all || return 1
    fi
}
