// SPDX-License-Identifier: Apache-2.0
//
// ip6_extensions: walks over up to STEPS IPv6 extension headers, one in each cycle.
//
// In       the packet from layer 3 on and its VLAN tags; a cycle later what parse_l3 says of it. `skip_i` (not IPv6, or
//          malformed) hands protocol, later and fragment on unchanged.
// Out      the protocol behind the last header, the 8-byte units that the headers take, and what was wrong: `bad_o` a header is
//          longer than the packet, `beyond_o` the walk left the window or there are more than STEPS headers.
// Latency  STEPS + 1 from l3_i.
//
// Everything that a step must know of a header (where it ends, whether that is too far, what follows) is worked out for every
// unit of the window before the walk, as if a header began there. A step only selects, so it is short.
`resetall
`default_nettype none
module ip6_extensions #(
    parameter int unsigned L3_BYTES = 114,
    // Units behind the fixed header that a window without VLAN tags holds; with tags it is one less.
    parameter int unsigned UNITS = 9,
    parameter int unsigned STEPS = 8
) (
    input  wire logic                  clk,
    input  wire logic [8*L3_BYTES-1:0] l3_i,
    input  wire logic [1:0]            tags_i,
    // a cycle later
    input  wire logic                  skip_i,
    input  wire logic [7:0]            protocol_i,
    input  wire logic [12:0]           units_i,     // of payload, whole ones
    input  wire logic                  later_i,
    input  wire logic                  fragment_i,
    // STEPS cycles after that
    output logic [7:0]                 protocol_o,
    output logic [9:0]                 units_o,
    output logic                       bad_o,
    output logic                       beyond_o,
    output logic                       later_o,
    output logic                       fragment_o
);
    localparam int unsigned TOP = 8 * L3_BYTES - 1;

    typedef struct packed {
        logic [9:0]       stop;  // unit behind the header
        logic             bad;   // that is behind the packet
        logic             last;  // that is the end of the packet
        logic [UNITS-1:0] next;  // that unit, one bit each; 0 if it is not in the window
    } span_t;
    typedef struct packed {
        logic [7:0] protocol;  // next header
        logic       extension;
        logic       is_fragment;
        logic       offset;    // of a fragment header: it is not the first one
        logic       more;
        span_t      variable;  // with the length in the header
        span_t      fixed;     // of a fragment header: one unit
    } unit_t;
    typedef struct packed {
        logic             done;
        logic [7:0]       protocol;
        logic             extension;
        logic             is_fragment;
        logic [9:0]       units;  // walked over
        logic [UNITS-1:0] at;     // the next header, one bit each; 0 if it is not in the window
        logic             last;   // nothing is left
        logic             bad;
        logic             beyond;
        logic             later;
        logic             fragment;
    } walk_t;

    function automatic logic is_extension(input logic [7:0] protocol);
        return protocol == 8'd0 || protocol == 8'd43 || protocol == 8'd44 || protocol == 8'd60;
    endfunction

    function automatic span_t span_to(input logic [9:0] stop, input logic [12:0] units, input logic vlan);
        span_to.stop = stop;
        span_to.bad  = {3'b0, stop} > units;
        span_to.last = {3'b0, stop} == units;
        for (int j = 0; j < UNITS; j++) span_to.next[j] = stop == 10'(j) && !(vlan && j == UNITS - 1);
    endfunction

    // Fields of each unit, registered beside the output of parse_l3.
    logic [UNITS-1:0][7:0] protocol_q;
    logic [UNITS-1:0][9:0] stop_q;
    logic [UNITS-1:0]      offset_q, more_q;
    logic                  vlan_q;
    always_ff @(posedge clk) begin
        for (int i = 0; i < UNITS; i++) begin
            protocol_q[i] <= l3_i[TOP-8*(40+8*i) -: 8];
            stop_q[i]     <= {2'b0, l3_i[TOP-8*(41+8*i) -: 8]} + 10'(i + 1);
            offset_q[i]   <= |l3_i[TOP-8*(42+8*i) -: 13];
            more_q[i]     <= l3_i[TOP-8*(43+8*i)-7];
        end
        vlan_q <= tags_i != 2'd0;
    end

    // The first step looks at unit 0 only and may use it as it is worked out; all others are registered before.
    unit_t [UNITS-1:0] unit[STEPS];
    walk_t             walk[STEPS+1];
    always_comb begin
        for (int i = 0; i < UNITS; i++) begin
            unit[0][i].protocol    = protocol_q[i];
            unit[0][i].extension   = is_extension(protocol_q[i]);
            unit[0][i].is_fragment = protocol_q[i] == 8'd44;
            unit[0][i].offset      = offset_q[i];
            unit[0][i].more        = more_q[i];
            unit[0][i].variable    = span_to(stop_q[i], units_i, vlan_q);
            unit[0][i].fixed       = span_to(10'(i + 1), units_i, vlan_q);
        end
        walk[0]             = '0;
        walk[0].done        = skip_i;
        walk[0].protocol    = protocol_i;
        walk[0].extension   = is_extension(protocol_i);
        walk[0].is_fragment = protocol_i == 8'd44;
        walk[0].at          = UNITS'(1);
        walk[0].later       = later_i;
        walk[0].fragment    = fragment_i;
    end

    for (genvar s = 0; s < STEPS; s++) begin : gen_step
        unit_t here;
        span_t span;
        logic  walking, in_window, go;
        always_comb begin
            here = '0;
            for (int i = 0; i < UNITS; i++) here |= walk[s].at[i] ? unit[s][i] : '0;
        end
        assign span    = walk[s].is_fragment ? here.fixed : here.variable;
        assign in_window  = |walk[s].at;
        assign walking = !walk[s].done && walk[s].extension;
        assign go      = walking && in_window && !span.bad;
        always_ff @(posedge clk) begin
            walk[s+1] <= walk[s];
            if (!go) walk[s+1].done <= 1'b1;
            if (walking && !go) begin
                // Out of the window with nothing left: the packet ends within its headers.
                walk[s+1].bad    <= in_window || walk[s].last;
                walk[s+1].beyond <= !in_window && !walk[s].last;
            end
            if (go) begin
                walk[s+1].protocol    <= here.protocol;
                walk[s+1].extension   <= here.extension;
                walk[s+1].is_fragment <= here.is_fragment;
                walk[s+1].units       <= span.stop;
                walk[s+1].at          <= span.next;
                walk[s+1].last        <= span.last;
                if (walk[s].is_fragment) begin
                    walk[s+1].fragment <= walk[s].fragment || (here.more && !here.offset);
                    walk[s+1].later    <= here.offset;
                    walk[s+1].done     <= here.offset;
                end
            end
        end
        if (s > 0) begin : gen_unit
            always_ff @(posedge clk) unit[s] <= unit[s-1];
        end
    end

    assign protocol_o = walk[STEPS].protocol;
    assign units_o    = walk[STEPS].units;
    assign bad_o      = walk[STEPS].bad;
    assign beyond_o   = walk[STEPS].beyond || (!walk[STEPS].done && walk[STEPS].extension);
    assign later_o    = walk[STEPS].later;
    assign fragment_o = walk[STEPS].fragment;
    wire logic unused = &{1'b0, l3_i, walk[STEPS]};
endmodule
`resetall
