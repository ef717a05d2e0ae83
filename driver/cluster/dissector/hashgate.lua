-- SPDX-License-Identifier: Apache-2.0
--
-- Wireshark and tshark dissector for the extended heartbeat (Ethernet type 0x886F, signature 0xC0DE01C0) and the control datagrams
-- (UDP 2504) of a Hashgate cluster. Layout: docs/heartbeat.md. Membership frames go on to the built-in dissector `msnlb`.
--
--     tshark -X lua_script:hashgate.lua -r FILE
--
-- Codes are shown, not checked: a dissector has no keys. Runs with Lua 5.2 to 5.4.

local hashgate = Proto("hashgate", "Hashgate Cluster Heartbeat")
local control = Proto("hashgate_control", "Hashgate Cluster Control")

local ETHERTYPE = 0x886f
local PORT = 2504
local SIGNATURE = 0xc0de01c0
local CONTROL_SIGNATURE = 0xc0de01e0
local RULES = 64
local PAGE_BUCKETS = 1024

local PHASES = {
    [0] = "Listening", "Converging", "Idle", "Ready", "Stable", "Excluded", "Suspended",
}
local TLVS = {
    [0x80] = "Envelope", [0x81] = "Heartbeat", [0x82] = "Fetch", [0x83] = "Map index", [0x84] = "Map page",
    [0x85] = "Holdings", [0xff] = "Message authentication code",
}
local NO_YES = { [0] = "no", "yes" }
local FETCHES = { [0] = "Index", "Page" }
local KINDS = { "Hello", "Challenge", "Request", "Answer" }
local COMMANDS = {
    "Query", "Start", "Stop", "Drain", "Undrain", "Suspend", "Resume", "Enable rules", "Drain rules", "Disable rules",
    "Capacity", "Stage", "Activate", "Abort stage", "Hold",
}
local OUTCOMES = { [0] = "Done", "Failed", "Unsupported", "Stale", "Unknown", "Busy" }
-- What the argument of a command is.
local RULE_COMMANDS = { [8] = true, [9] = true, [10] = true }

local f = {
    signature = ProtoField.uint32("hashgate.signature", "Signature", base.HEX),
    minor = ProtoField.uint8("hashgate.version.minor", "Minor version"),
    major = ProtoField.uint8("hashgate.version.major", "Major version"),
    host = ProtoField.uint32("hashgate.host", "Host id"),
    cluster_ip = ProtoField.ipv4("hashgate.cluster_ip", "Cluster IP"),
    host_ip = ProtoField.ipv4("hashgate.host_ip", "Host IP"),
    tlv_type = ProtoField.uint8("hashgate.tlv.type", "Type", base.HEX, TLVS),
    tlv_length = ProtoField.uint16("hashgate.tlv.length", "Length of the value (bytes)"),
    incarnation = ProtoField.uint64("hashgate.incarnation", "Incarnation", base.HEX),
    sequence = ProtoField.uint64("hashgate.sequence", "Sequence number"),
    key = ProtoField.uint8("hashgate.key", "Key (0: none)"),
    later = ProtoField.bytes("hashgate.later", "Of a later version"),
    mac = ProtoField.bytes("hashgate.mac", "HMAC-SHA-256, first 128 bits (not checked)"),

    phase = ProtoField.uint8("hashgate.phase", "Phase", base.DEC, PHASES),
    committed_flag = ProtoField.uint8("hashgate.flags.committed", "Has committed maps", base.DEC, NO_YES, 0x01),
    activate = ProtoField.uint8("hashgate.flags.activate", "Activate the staged rule set", base.DEC, NO_YES, 0x02),
    tolerance = ProtoField.uint8("hashgate.tolerance", "Tolerance (periods)"),
    echoes = ProtoField.uint8("hashgate.echoes", "Number of echoes"),
    period = ProtoField.uint16("hashgate.period", "Period (ms)"),
    capacity = ProtoField.uint16("hashgate.capacity", "Capacity (%)"),
    hold = ProtoField.uint32("hashgate.hold", "Announced absence (ms)"),
    view = ProtoField.uint32("hashgate.view", "View", base.HEX),
    view_hosts = ProtoField.string("hashgate.view_hosts", "Members of the view"),
    committed_epoch = ProtoField.uint64("hashgate.committed.epoch", "Committed epoch"),
    committed_digest = ProtoField.uint64("hashgate.committed.digest", "Committed maps (digest)", base.HEX),
    committed_size = ProtoField.uint8("hashgate.committed.view_size", "Members of the view that committed"),
    committed_lowest = ProtoField.uint8("hashgate.committed.lowest", "Lowest host id of that view"),
    rule_count = ProtoField.uint8("hashgate.connection_counts", "Number of connection counts"),
    epoch = ProtoField.uint64("hashgate.epoch", "Epoch of the proposal"),
    proposal = ProtoField.uint64("hashgate.proposal", "Proposal (id)", base.HEX),
    proposed = ProtoField.uint64("hashgate.proposed_digest", "Proposed maps (digest)", base.HEX),
    released = ProtoField.uint64("hashgate.released", "Released proposal (id)", base.HEX),
    rules = ProtoField.uint64("hashgate.rules", "Active rule set (digest)", base.HEX),
    staged = ProtoField.uint64("hashgate.staged", "Staged rule set (digest)", base.HEX),
    draining = ProtoField.bytes("hashgate.draining", "Draining rules (bits)"),
    draining_rules = ProtoField.string("hashgate.draining_rules", "Draining rules"),
    disabled = ProtoField.bytes("hashgate.disabled", "Disabled rules (bits)"),
    disabled_rules = ProtoField.string("hashgate.disabled_rules", "Disabled rules"),
    holding = ProtoField.bytes("hashgate.holding", "Rules with bindings in others' buckets (bits)"),
    holding_rules = ProtoField.string("hashgate.holding_rules", "Rules with bindings in others' buckets"),
    echo_host = ProtoField.uint8("hashgate.echo.host", "Host id", base.DEC, nil, 0x7f),
    echo_counted = ProtoField.uint8("hashgate.echo.counted", "Counted", base.DEC, NO_YES, 0x80),
    echo_sequence = ProtoField.uint64("hashgate.echo.sequence", "Newest sequence number"),
    echo_age = ProtoField.uint16("hashgate.echo.age", "Age (ms)"),
    echo_incarnation = ProtoField.uint64("hashgate.echo.incarnation", "Incarnation", base.HEX),
    connections = ProtoField.uint32("hashgate.connections", "Connections since the last convergence"),

    fetch_kind = ProtoField.uint8("hashgate.fetch.kind", "Asked for", base.DEC, FETCHES),
    fetch_from = ProtoField.uint8("hashgate.fetch.from", "Host that shall answer"),
    fetch_digest = ProtoField.uint64("hashgate.fetch.digest", "Map set (digest)", base.HEX),
    fetch_first = ProtoField.uint16("hashgate.fetch.first", "First bucket"),
    fetch_crc = ProtoField.uint32("hashgate.fetch.crc", "Map (CRC-32)", base.HEX),
    index_digest = ProtoField.uint64("hashgate.index.digest", "Map set (digest)", base.HEX),
    index_count = ProtoField.uint8("hashgate.index.count", "Number of maps"),
    index_key = ProtoField.uint64("hashgate.index.key", "Key of the rule (0: default host)", base.HEX),
    index_crc = ProtoField.uint32("hashgate.index.crc", "Map (CRC-32)", base.HEX),
    page_crc = ProtoField.uint32("hashgate.page.crc", "Map (CRC-32)", base.HEX),
    page_first = ProtoField.uint16("hashgate.page.first", "First bucket"),
    page_hosts = ProtoField.uint32("hashgate.page.hosts", "Hosts with a weight", base.HEX),
    page_owners = ProtoField.bytes("hashgate.page.owners", "Owners by bucket (0: nobody)"),
    page_share = ProtoField.string("hashgate.page.share", "Buckets of this page"),
    page_weight_host = ProtoField.uint8("hashgate.page.weight.host", "Host id"),
    page_weight = ProtoField.uint16("hashgate.page.weight", "Weight"),
    holdings_proposal = ProtoField.uint64("hashgate.holdings.proposal", "Proposal (id)", base.HEX),
    holdings_rule = ProtoField.uint8("hashgate.holdings.rule", "Rule (64: default host)"),
    holdings_buckets = ProtoField.bytes("hashgate.holdings.buckets", "Buckets (bits)"),
    holdings_count = ProtoField.uint16("hashgate.holdings.count", "Number of buckets"),
}
hashgate.fields = f

local c = {
    signature = ProtoField.uint32("hashgate_control.signature", "Signature", base.HEX),
    major = ProtoField.uint8("hashgate_control.version.major", "Major version"),
    minor = ProtoField.uint8("hashgate_control.version.minor", "Minor version"),
    kind = ProtoField.uint8("hashgate_control.kind", "Kind", base.DEC, KINDS),
    key = ProtoField.uint8("hashgate_control.key", "Key (0: none)"),
    cluster_ip = ProtoField.ipv4("hashgate_control.cluster_ip", "Cluster IP"),
    host = ProtoField.uint8("hashgate_control.host", "Host that sent it (0: a client)"),
    id = ProtoField.uint64("hashgate_control.id", "Id of the request", base.HEX),
    hosts = ProtoField.uint32("hashgate_control.hosts", "Hosts that shall answer", base.HEX),
    hosts_list = ProtoField.string("hashgate_control.hosts_list", "Hosts that shall answer"),
    incarnation = ProtoField.uint64("hashgate_control.incarnation", "Incarnation", base.HEX),
    sequence = ProtoField.uint64("hashgate_control.sequence", "Sequence number"),
    command = ProtoField.uint8("hashgate_control.command", "Command", base.DEC, COMMANDS),
    targets = ProtoField.uint8("hashgate_control.targets", "Number of hosts that shall carry it out"),
    argument = ProtoField.bytes("hashgate_control.argument", "Argument"),
    rules = ProtoField.string("hashgate_control.rules", "Rules"),
    target_host = ProtoField.uint8("hashgate_control.target.host", "Host id"),
    target_incarnation = ProtoField.uint64("hashgate_control.target.incarnation", "Incarnation", base.HEX),
    target_sequence = ProtoField.uint64("hashgate_control.target.sequence", "Sequence number"),
    outcome = ProtoField.uint8("hashgate_control.outcome", "Outcome", base.DEC, OUTCOMES),
    more = ProtoField.uint8("hashgate_control.more", "There are more pages", base.DEC, NO_YES, 0x01),
    text_length = ProtoField.uint16("hashgate_control.text_length", "Length of the text (bytes)"),
    text = ProtoField.string("hashgate_control.text", "Text", base.UNICODE),
    mac = ProtoField.bytes("hashgate_control.mac", "HMAC-SHA-256, first 128 bits (not checked)"),
}
control.fields = c

local short = ProtoExpert.new("hashgate.short", "It ends before what it announces", expert.group.MALFORMED,
    expert.severity.ERROR)
local strange = ProtoExpert.new("hashgate.length", "The length is not that of the content", expert.group.MALFORMED,
    expert.severity.ERROR)
hashgate.experts = { short, strange }
local control_short = ProtoExpert.new("hashgate_control.short", "It ends before what it announces",
    expert.group.MALFORMED, expert.severity.ERROR)
control.experts = { control_short }

-- Bit n of the bytes of a range, bit 0 being the lowest of the first byte.
local function bit_at(range, n)
    local byte = math.floor(n / 8)
    return range(byte, 1):bitfield(7 - n % 8, 1) == 1
end

-- The set bits below `count` as text.
local function list(range, count, first, last_name)
    local names = {}
    for n = 0, count - 1 do
        if bit_at(range, n) then
            names[#names + 1] = (last_name and n == count - 1) and last_name or tostring(n + first)
        end
    end
    return #names > 0 and table.concat(names, " ") or "none"
end

local function hosts_of(range)
    return list(range, 32, 1, nil)
end

local function rules_of(range)
    return list(range, RULES + 1, 0, "default")
end

local function add_rules(tree, field, names, range)
    tree:add(field, range)
    tree:add(names, range, rules_of(range)):set_generated()
end

-- Bodies: each takes the range of the value, which has at least `least` bytes, and returns the text for the packet list.

local function envelope(tree, value)
    tree:add_le(f.incarnation, value(0, 8))
    tree:add_le(f.sequence, value(8, 8))
    tree:add(f.key, value(16, 1))
    return nil
end

local function heartbeat(tree, value)
    tree:add(f.phase, value(0, 1))
    tree:add(f.committed_flag, value(1, 1))
    tree:add(f.activate, value(1, 1))
    tree:add(f.tolerance, value(2, 1))
    tree:add(f.echoes, value(3, 1))
    tree:add_le(f.period, value(4, 2))
    tree:add_le(f.capacity, value(6, 2))
    tree:add_le(f.hold, value(8, 4))
    tree:add_le(f.view, value(12, 4))
    tree:add(f.view_hosts, value(12, 4), hosts_of(value(12, 4))):set_generated()
    tree:add_le(f.committed_epoch, value(16, 8))
    tree:add_le(f.committed_digest, value(24, 8))
    tree:add(f.committed_size, value(32, 1))
    tree:add(f.committed_lowest, value(33, 1))
    tree:add(f.rule_count, value(34, 1))
    tree:add_le(f.epoch, value(36, 8))
    tree:add_le(f.proposal, value(44, 8))
    tree:add_le(f.proposed, value(52, 8))
    tree:add_le(f.released, value(60, 8))
    tree:add_le(f.rules, value(68, 8))
    tree:add_le(f.staged, value(76, 8))
    add_rules(tree, f.draining, f.draining_rules, value(84, 9))
    add_rules(tree, f.disabled, f.disabled_rules, value(93, 9))
    add_rules(tree, f.holding, f.holding_rules, value(102, 9))
    local echoes, counts = value(3, 1):uint(), value(34, 1):uint()
    if value:len() ~= 112 + 16 * echoes + 4 * counts then
        tree:add_proto_expert_info(strange)
        return "Heartbeat"
    end
    local at = 112
    for _ = 1, echoes do
        local host = value(at, 1):bitfield(1, 7)
        local echo = tree:add(hashgate, value(at, 16), "Echo of host " .. host)
        echo:add(f.echo_host, value(at, 1))
        echo:add(f.echo_counted, value(at, 1))
        echo:add_le(f.echo_sequence, value(at + 1, 5))
        echo:add_le(f.echo_age, value(at + 6, 2))
        echo:add_le(f.echo_incarnation, value(at + 8, 8))
        at = at + 16
    end
    for n = 0, counts - 1 do
        local item = tree:add_le(f.connections, value(at, 4))
        item:append_text(n == counts - 1 and " (default host)" or " (rule " .. n .. ")")
        at = at + 4
    end
    return string.format("%s, epoch %s, view %s", PHASES[value(0, 1):uint()] or "?", value(36, 8):le_uint64(),
        hosts_of(value(12, 4)))
end

local function fetch(tree, value)
    tree:add(f.fetch_kind, value(0, 1))
    tree:add(f.fetch_from, value(1, 1))
    local kind = value(0, 1):uint()
    if kind == 0 and value:len() == 12 then
        tree:add_le(f.fetch_digest, value(4, 8))
    elseif kind == 1 and value:len() == 8 then
        tree:add_le(f.fetch_first, value(2, 2))
        tree:add_le(f.fetch_crc, value(4, 4))
    else
        tree:add_proto_expert_info(strange)
    end
    return "Fetch from host " .. value(1, 1):uint()
end

local function map_index(tree, value)
    tree:add_le(f.index_digest, value(0, 8))
    tree:add(f.index_count, value(8, 1))
    local count = value(8, 1):uint()
    if value:len() ~= 12 + 12 * count then
        tree:add_proto_expert_info(strange)
        return "Map index"
    end
    for n = 0, count - 1 do
        local entry = tree:add(hashgate, value(12 + 12 * n, 12), "Map " .. n)
        entry:add_le(f.index_key, value(12 + 12 * n, 8))
        entry:add_le(f.index_crc, value(20 + 12 * n, 4))
    end
    return "Map index of " .. count
end

local function map_page(tree, value)
    tree:add_le(f.page_crc, value(0, 4))
    tree:add_le(f.page_first, value(4, 2))
    tree:add_le(f.page_hosts, value(8, 4))
    local owners = value(12, PAGE_BUCKETS)
    local page = tree:add(f.page_owners, owners)
    local counts, bytes = {}, owners:bytes()
    for n = 0, PAGE_BUCKETS - 1 do
        local owner = bytes:get_index(n)
        counts[owner] = (counts[owner] or 0) + 1
    end
    for owner = 0, 255 do
        if counts[owner] then
            local text = string.format("%d: %d", owner, counts[owner])
            page:add(f.page_share, owners, text):set_generated()
        end
    end
    local at = 12 + PAGE_BUCKETS
    for n = 0, 31 do
        if bit_at(value(8, 4), n) then
            if at + 2 > value:len() then
                tree:add_proto_expert_info(strange)
                break
            end
            local weight = tree:add_le(f.page_weight, value(at, 2))
            weight:prepend_text("Host " .. n + 1 .. ": ")
            weight:add(f.page_weight_host, value(8, 4), n + 1):set_generated()
            at = at + 2
        end
    end
    return "Map page from bucket " .. value(4, 2):le_uint()
end

local function holdings(tree, value)
    tree:add_le(f.holdings_proposal, value(0, 8))
    tree:add(f.holdings_rule, value(8, 1))
    local buckets = value(12, 512)
    local set = tree:add(f.holdings_buckets, buckets)
    local count = 0
    for n = 0, 4095 do
        if bit_at(buckets, n) then
            count = count + 1
        end
    end
    set:add(f.holdings_count, buckets, count):set_generated()
    return string.format("Holdings of rule %d: %d buckets", value(8, 1):uint(), count)
end

local function mac(tree, value)
    tree:add(f.mac, value)
    return nil
end

local BODIES = {
    [0x80] = { least = 20, show = envelope },
    [0x81] = { least = 112, show = heartbeat },
    [0x82] = { least = 8, show = fetch },
    [0x83] = { least = 12, show = map_index },
    [0x84] = { least = 12 + PAGE_BUCKETS, show = map_page },
    [0x85] = { least = 524, show = holdings },
    [0xff] = { least = 16, show = mac },
}

-- The built-in one, which has no name to be found by.
local membership = DissectorTable.get("ethertype"):get_dissector(ETHERTYPE)

function hashgate.dissector(buffer, pinfo, root)
    if buffer:len() < 4 or buffer(0, 4):le_uint() ~= SIGNATURE then
        return membership:call(buffer:range():tvb(), pinfo, root)
    end
    pinfo.cols.protocol = "Hashgate"
    local tree = root:add(hashgate, buffer())
    if buffer:len() < 20 then
        tree:add_proto_expert_info(short)
        return buffer:len()
    end
    tree:add_le(f.signature, buffer(0, 4))
    tree:add(f.minor, buffer(4, 1))
    tree:add(f.major, buffer(5, 1))
    tree:add_le(f.host, buffer(8, 4))
    tree:add(f.cluster_ip, buffer(12, 4))
    tree:add(f.host_ip, buffer(16, 4))
    local info = nil
    local at = 20
    while at < buffer:len() do
        local left = buffer:len() - at
        local length = left >= 4 and buffer(at + 2, 2):le_uint() or 0
        if left < 4 or left - 4 < length then
            tree:add_proto_expert_info(short)
            break
        end
        local kind = buffer(at, 1):uint()
        local part = tree:add(hashgate, buffer(at, 4 + length), TLVS[kind] or string.format("Type 0x%02x", kind))
        part:add(f.tlv_type, buffer(at, 1))
        part:add_le(f.tlv_length, buffer(at + 2, 2))
        local body = BODIES[kind]
        if body and length >= body.least then
            info = body.show(part, buffer(at + 4, length)) or info
        elseif body then
            part:add_proto_expert_info(strange)
        elseif length > 0 then
            part:add(f.later, buffer(at + 4, length))
        end
        at = at + 4 + length
    end
    pinfo.cols.info = string.format("Host %d: %s", buffer(8, 4):le_uint(), info or "?")
    return buffer:len()
end

-- Each takes the range behind the header and before the code, and returns the text for the packet list; nil if it is too short.

local function hello(tree, body)
    if body:len() < 4 then
        return nil
    end
    tree:add_le(c.hosts, body(0, 4))
    tree:add(c.hosts_list, body(0, 4), hosts_of(body(0, 4))):set_generated()
    return "Hello"
end

local function challenge(tree, body)
    if body:len() < 16 then
        return nil
    end
    tree:add_le(c.incarnation, body(0, 8))
    tree:add_le(c.sequence, body(8, 8))
    return "Challenge"
end

local function request(tree, body)
    if body:len() < 20 or body:len() < 20 + 17 * body(1, 1):uint() then
        return nil
    end
    local command = body(0, 1):uint()
    tree:add(c.command, body(0, 1))
    tree:add(c.targets, body(1, 1))
    local argument = tree:add(c.argument, body(4, 16))
    if RULE_COMMANDS[command] then
        argument:add(c.rules, body(4, 16), rules_of(body(4, 16))):set_generated()
    end
    for n = 0, body(1, 1):uint() - 1 do
        local at = 20 + 17 * n
        local target = tree:add(control, body(at, 17), "Host " .. body(at, 1):uint())
        target:add(c.target_host, body(at, 1))
        target:add_le(c.target_incarnation, body(at + 1, 8))
        target:add_le(c.target_sequence, body(at + 9, 8))
    end
    return "Request: " .. (COMMANDS[command] or "?")
end

local function answer(tree, body)
    if body:len() < 20 or body:len() < 20 + body(18, 2):le_uint() then
        return nil
    end
    tree:add_le(c.incarnation, body(0, 8))
    tree:add_le(c.sequence, body(8, 8))
    tree:add(c.outcome, body(16, 1))
    tree:add(c.more, body(17, 1))
    tree:add_le(c.text_length, body(18, 2))
    local length = body(18, 2):le_uint()
    if length > 0 then
        tree:add_packet_field(c.text, body(20, length), ENC_UTF_8)
    end
    return "Answer: " .. (OUTCOMES[body(16, 1):uint()] or "?")
end

local CONTROL = { hello, challenge, request, answer }

function control.dissector(buffer, pinfo, root)
    if buffer:len() < 4 or buffer(0, 4):le_uint() ~= CONTROL_SIGNATURE then
        return 0
    end
    pinfo.cols.protocol = "Hashgate control"
    local tree = root:add(control, buffer())
    local code = buffer:len() >= 24 and buffer(7, 1):uint() ~= 0 and 16 or 0
    if buffer:len() <= 24 + code then
        tree:add_proto_expert_info(control_short)
        return buffer:len()
    end
    tree:add_le(c.signature, buffer(0, 4))
    tree:add(c.major, buffer(4, 1))
    tree:add(c.minor, buffer(5, 1))
    tree:add(c.kind, buffer(6, 1))
    tree:add(c.key, buffer(7, 1))
    tree:add(c.cluster_ip, buffer(8, 4))
    tree:add(c.host, buffer(12, 1))
    tree:add_le(c.id, buffer(16, 8))
    local show = CONTROL[buffer(6, 1):uint()]
    local info = show and show(tree, buffer(24, buffer:len() - 24 - code))
    if show and not info then
        tree:add_proto_expert_info(control_short)
    end
    if code > 0 then
        tree:add(c.mac, buffer(buffer:len() - code, code))
    end
    pinfo.cols.info = info or "?"
    return buffer:len()
end

DissectorTable.get("ethertype"):add(ETHERTYPE, hashgate)
DissectorTable.get("udp.port"):add(PORT, control)
