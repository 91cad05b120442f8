// Checks the export that lies in this application's bundle, in the folder `exported`; example.hpp does the work.

#import <Foundation/Foundation.h>

#include <sstream>

#include "example.hpp"

int main() {
  @autoreleasepool {
    NSString* folder = [[NSBundle mainBundle] pathForResource:@"exported" ofType:nil];
    std::ostringstream said;
    int code = example::check(folder ? folder.UTF8String : ".", said);
    NSLog(@"%s", said.str().c_str());
    return code;
  }
}
