# The program stays for `elb detach`, and the configuration, which says where the pins are.
keep_what_detaches() {
    kept=/var/lib/elb/removed
    install -d -m 0700 /var/lib/elb "$kept"
    cp -p /usr/bin/elb "$kept/elb"
    if [ -f /etc/elb/elb.toml ]; then
        cp -p /etc/elb/elb.toml "$kept/elb.toml"
    fi
    echo "elb: removing the package does not stop forwarding: what was forwarded still is, by the program in"
    echo "elb: the kernel, and no agent checks members any more. To stop it: $1"
}
