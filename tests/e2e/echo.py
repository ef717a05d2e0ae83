# SPDX-License-Identifier: Apache-2.0
"""What long-lived connections talk to: says the name of its host, then gives back what it gets. Runs on a host."""

import asyncio
import sys

PORT = 7007


async def main(host: str) -> None:
    """Serves until it is killed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(f"{host}\n".encode())
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
        except OSError:
            # The client, or its host, is gone.
            pass
        finally:
            writer.close()

    servers = [await asyncio.start_server(serve, any_address, PORT, backlog=4096) for any_address in ("0.0.0.0", "::")]
    print("listening", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
