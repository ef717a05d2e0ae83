// SPDX-License-Identifier: Apache-2.0
//
// ip6_extension_step: walks over one IPv6 extension header, or passes on what is not one.
//
// In       the 8-byte units behind the fixed header, already decoded as if each began an extension header, and where the walk
//          stands: unit, next header, units of payload left. `done_i` ends the walk (set it for IPv4 too).
// Out      the same, one header further.
// Latency  1.
`resetall
`default_nettype none
module ip6_extension_step #(
    // Units in the window.
    parameter int unsigned UNITS = 9
) (
    input  wire logic                   clk,
    input  wire logic [UNITS-1:0][7:0]  unit_next_i,    // next header
    input  wire logic [UNITS-1:0][8:0]  unit_length_i,  // length in units, 1..256
    input  wire logic [UNITS-1:0]       unit_offset_i,  // fragment offset is not 0
    input  wire logic [UNITS-1:0]       unit_more_i,    // more fragments
    input  wire logic [3:0]             units_i,        // units that lie in the window whole
    input  wire logic                   done_i,
    input  wire logic [3:0]             unit_i,         // saturates at 15
    input  wire logic [7:0]             next_i,
    input  wire logic [12:0]            left_i,
    input  wire logic                   bad_i,
    input  wire logic                   beyond_i,
    input  wire logic                   later_i,
    input  wire logic                   fragment_i,
    output logic                        done_o,
    output logic [3:0]                  unit_o,
    output logic [7:0]                  next_o,
    output logic [12:0]                 left_o,
    output logic                        bad_o,
    output logic                        beyond_o,
    output logic                        later_o,
    output logic                        fragment_o
);
    logic       is_fragment, is_extension;
    logic [7:0] hdr_next;
    logic [8:0] hdr_units;
    logic       hdr_offset, hdr_more;
    logic [9:0] unit_sum;
    assign is_fragment  = next_i == 8'd44;
    assign is_extension = next_i == 8'd0 || next_i == 8'd43 || next_i == 8'd60 || is_fragment;
    always_comb begin
        hdr_next   = '0;
        hdr_units  = '0;
        hdr_offset = 1'b0;
        hdr_more   = 1'b0;
        for (int i = 0; i < UNITS; i++)
            if (unit_i == 4'(i)) begin
                hdr_next   = unit_next_i[i];
                hdr_units  = unit_length_i[i];
                hdr_offset = unit_offset_i[i];
                hdr_more   = unit_more_i[i];
            end
        if (is_fragment) hdr_units = 9'd1;
    end
    assign unit_sum = {6'b0, unit_i} + {1'b0, hdr_units};

    always_ff @(posedge clk) begin
        done_o     <= done_i;
        unit_o     <= unit_i;
        next_o     <= next_i;
        left_o     <= left_i;
        bad_o      <= bad_i;
        beyond_o   <= beyond_i;
        later_o    <= later_i;
        fragment_o <= fragment_i;
        if (!done_i) begin
            if (!is_extension) done_o <= 1'b1;
            else if (left_i == '0) begin
                done_o <= 1'b1;
                bad_o  <= 1'b1;
            end else if (unit_i >= units_i) begin
                done_o   <= 1'b1;
                beyond_o <= 1'b1;
            end else if ({4'b0, hdr_units} > left_i) begin
                done_o <= 1'b1;
                bad_o  <= 1'b1;
            end else begin
                next_o <= hdr_next;
                left_o <= left_i - {4'b0, hdr_units};
                unit_o <= (|unit_sum[9:4]) ? 4'd15 : unit_sum[3:0];
                if (is_fragment) begin
                    fragment_o <= fragment_i || (hdr_more && !hdr_offset);
                    later_o    <= hdr_offset;
                    done_o     <= hdr_offset;
                end
            end
        end
    end
endmodule
`resetall
