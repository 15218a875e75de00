"""A Modbus server for the tests: server.py tcp PORT, or server.py rtu DEVICE. Holding registers 0..199 hold 1000 + their address, input
registers 2000 + theirs, every third coil and discrete input is on. It says so when it is about to serve."""
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartSerialServer, StartTcpServer
from pymodbus.transaction import ModbusRtuFramer

store = ModbusSlaveContext(
    di=ModbusSequentialDataBlock(0, [i % 3 == 0 for i in range(200)]),
    co=ModbusSequentialDataBlock(0, [i % 3 == 0 for i in range(200)]),
    hr=ModbusSequentialDataBlock(0, [1000 + i for i in range(200)]),
    ir=ModbusSequentialDataBlock(0, [2000 + i for i in range(200)]),
    zero_mode=True,
)
context = ModbusServerContext(slaves={7: store}, single=False)
print("serving", flush=True)
if sys.argv[1] == "tcp":
    StartTcpServer(context=context, address=("127.0.0.1", int(sys.argv[2])))
else:
    StartSerialServer(context=context, framer=ModbusRtuFramer, port=sys.argv[2], baudrate=115200, timeout=0.01)
