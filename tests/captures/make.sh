#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes tests/captures/real.pcapng: what a cluster port sees of real clients. Needs root. It works in network namespaces
# of its own and removes them, and every process that it started, however it ends. See README.md beside it.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tools/debian.sh
here=tests/captures
output=tests/captures/real.pcapng

[ "$(id -u)" = 0 ] || {
    echo "capture: network namespaces need root: sudo make capture" >&2
    exit 1
}
packages=()
for pair in nginx:nginx-light dnsmasq:dnsmasq-base dig:dnsutils ping:iputils-ping ip:iproute2 ethtool:ethtool \
    curl:curl dumpcap:wireshark-common; do
    command -v "${pair%%:*}" >/dev/null || packages+=("${pair##*:}")
done
need_packages capture "${packages[@]}"

cluster_mac=02:bf:0a:00:00:64
run=hashgate-$$
work=$(mktemp -d)
pids=()
spaces=()

cleanup() {
    local pid space
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    for space in "${spaces[@]}"; do ip netns del "$space" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

# inside SPACE COMMAND...: runs the command in one of our namespaces.
inside() {
    local space=$run-$1
    shift
    ip netns exec "$space" "$@"
}

# until_true WHAT COMMAND...: polls until the command succeeds, gives up after 100 times.
until_true() {
    local what=$1 tries=0
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || {
            tail -n 5 "$work"/*.log >&2
            echo "capture: gave up waiting for $what" >&2
            exit 1
        }
        sleep 0.1
    done
}

# cable SPACE DEVICE SPACE DEVICE: a veth pair without offloads, so that frames on it are what a wire would carry.
cable() {
    ip link add "$2" netns "$run-$1" type veth peer name "$4" netns "$run-$3"
    local space device
    for end in "$1 $2" "$3 $4"; do
        read -r space device <<<"$end"
        inside "$space" ethtool -K "$device" rx off tx off sg off tso off gso off gro off >/dev/null
        inside "$space" ip link set "$device" up
    done
}

echo "capture: building the network"
for name in server switch clients router remote; do
    ip netns add "$run-$name"
    spaces+=("$run-$name")
    inside $name ip link set lo up
done
inside switch ip link add br0 type bridge mcast_snooping 0
inside switch ip link set br0 up
cable server s0 switch server
cable clients c0 switch clients
cable router r0 switch router
cable router r1 remote m0
for port in server clients router; do inside switch ip link set $port master br0; done

inside server ip link set s0 down
inside server ip link set s0 address $cluster_mac
inside server ip link set s0 up
for last in 100 101 201; do
    inside server ip address add 10.0.0.$last/24 dev s0
    inside server ip address add fd00::$last/64 dev s0 nodad
done
inside server ip route add default via 10.0.0.254
inside server ip route add default via fd00::254

for client in $(seq 64); do
    inside clients ip address add 10.0.0.$client/24 dev c0
    inside clients ip address add fd00::$client/64 dev c0 nodad
done

# Clients report every datagram that they no longer want.
inside clients sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0

# The router's far side has a small MTU; the clients behind it do not know.
inside router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
inside router ip address add 10.0.0.254/24 dev r0
inside router ip address add fd00::254/64 dev r0 nodad
inside router ip address add 10.0.1.254/24 dev r1
inside router ip address add fd00:1::254/64 dev r1 nodad
inside router ip link set r1 mtu 1280
for client in $(seq 8); do
    inside remote ip address add 10.0.1.$client/24 dev m0
    inside remote ip address add fd00:1::$client/64 dev m0 nodad
done
inside remote ip route add default via 10.0.1.254
inside remote ip route add default via fd00:1::254

echo "capture: starting nginx, dnsmasq and an echo server"
mkdir "$work/www"
echo "a small page" >"$work/www/small"
head -c 20000 /dev/zero | tr '\0' x >"$work/www/large"
cat >"$work/nginx.conf" <<EOF
daemon off;
master_process off;
pid $work/nginx.pid;
error_log $work/nginx.log;
events {}
http {
    access_log off;
    client_body_temp_path $work;
    proxy_temp_path $work;
    fastcgi_temp_path $work;
    uwsgi_temp_path $work;
    scgi_temp_path $work;
    server {
        listen 80;
        listen [::]:80;
        root $work/www;
    }
}
EOF
ip netns exec "$run-server" nginx -p "$work" -e "$work/nginx.log" -c "$work/nginx.conf" &
pids+=($!)
ip netns exec "$run-server" dnsmasq --keep-in-foreground --no-resolv --no-hosts --no-daemon --conf-file=/dev/null --user=root \
    --address=/example.test/192.0.2.1 --address=/example.test/2001:db8::1 2>"$work/dnsmasq.log" &
pids+=($!)
ip netns exec "$run-server" python3 $here/udp_echo.py 7 >"$work/echo.log" &
pids+=($!)
until_true nginx inside server curl -sf --max-time 1 http://10.0.0.100/small
until_true dnsmasq inside server dig +tries=1 +time=1 @10.0.0.100 www.example.test
until_true "the echo server" grep -q ready "$work/echo.log"

echo "capture: recording"
ip netns exec "$run-server" dumpcap -q -i s0 -f inbound -w - >"$work/real.pcapng" 2>"$work/dumpcap.log" &
pids+=($!)
dumpcap=$!
until_true dumpcap test -s "$work/real.pcapng"

# 64 clients on the same network, both addresses, both IP versions: several connections each.
for vip in 10.0.0.100 10.0.0.101; do
    seq 64 | inside clients xargs -P 8 -I{} sh -c "
        curl -sf --max-time 10 --interface 10.0.0.{} -o /dev/null -o /dev/null http://$vip/small http://$vip/large &&
        curl -sf --max-time 10 --interface 10.0.0.{} -o /dev/null http://$vip/small &&
        dig +short +tries=2 +time=2 -b 10.0.0.{} @$vip host{}.example.test A >/dev/null"
done
for vip in fd00::100 fd00::101; do
    seq 64 | inside clients xargs -P 8 -I{} sh -c "
        curl -sf --max-time 10 --interface fd00::{} -o /dev/null 'http://[$vip]/small' &&
        dig +short +tries=2 +time=2 -b fd00::{} @$vip host{}.example.test AAAA >/dev/null"
done
seq 8 | inside clients xargs -I{} dig +short +tcp -b 10.0.0.{} @10.0.0.100 tcp{}.example.test A >/dev/null
# Echo requests, also to the server's own addresses, and some that fragment.
for address in 10.0.0.100 10.0.0.101 10.0.0.201 fd00::100 fd00::101 fd00::201; do
    inside clients ping -q -c 3 -i 0.01 -W 2 $address >/dev/null
    inside clients ping -q -c 1 -s 3000 -W 2 $address >/dev/null
done
# Datagrams that fragment, and clients that no longer want the answer: port unreachable.
inside clients python3 $here/udp_client.py 10.0.0.100 fd00::100
# Clients behind the small MTU: fragmentation needed, packet too big.
for client in $(seq 8); do
    inside remote curl -sf --max-time 10 --interface 10.0.1.$client -o /dev/null http://10.0.0.100/large
    inside remote curl -sf --max-time 10 --interface fd00:1::$client -o /dev/null 'http://[fd00::100]/large'
done
# The last datagram says that everything before it has been written.
inside clients python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"end of the capture", ("10.0.0.100", 7))'
until_true "the last frame" grep -q "end of the capture" "$work/real.pcapng"
kill -INT $dumpcap
wait $dumpcap

python3 $here/inspect.py "$work/real.pcapng"
cp "$work/real.pcapng" $output
echo "capture: wrote $output ($(stat -c %s $output) bytes)"
